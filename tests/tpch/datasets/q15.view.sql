create view revenue{{ stream_id }} (supplier_no, total_revenue) as
select l_suppkey, sum(l_extendedprice * (1 - l_discount))
from lineitem
where l_shipdate >= date '{{ date }}'
  and l_shipdate < date '{{ date | add_months(3) }}'
group by l_suppkey
