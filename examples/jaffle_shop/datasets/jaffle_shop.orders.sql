with paid as (
    select
        order_id,
        {% for method in ['credit_card', 'coupon', 'bank_transfer', 'gift_card'] %}
        sum(case when payment_method = '{{ method }}' then amount else 0 end) as {{ method }}_amount,
        {% endfor %}
        sum(amount) as amount
    from jaffle_shop.stg_payments
    group by order_id
)

select orders.*, paid.* exclude (order_id)
from jaffle_shop.stg_orders as orders
left join paid on orders.order_id = paid.order_id
