{% set kinds = [
  (brand1, quantity1, ['SM CASE', 'SM BOX', 'SM PACK', 'SM PKG'], 5),
  (brand2, quantity2, ['MED BAG', 'MED BOX', 'MED PKG', 'MED PACK'], 10),
  (brand3, quantity3, ['LG CASE', 'LG BOX', 'LG PACK', 'LG PKG'], 15),
] %}
select sum(l_extendedprice * (1 - l_discount)) as revenue
from lineitem, part
where
  {% for brand, quantity, containers, size in kinds %}
  {% if not loop.first %}or {% endif %}(
    p_partkey = l_partkey
    and p_brand = '{{ brand }}'
    and p_container in ({{ containers }})
    and l_quantity >= {{ quantity }} and l_quantity <= {{ quantity + 10 }}
    and p_size between 1 and {{ size }}
    and l_shipmode in ('AIR', 'AIR REG')
    and l_shipinstruct = 'DELIVER IN PERSON'
  )
  {% endfor %}
