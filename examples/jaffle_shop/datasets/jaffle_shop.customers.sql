with paid as (
    select order_id, sum(amount) as amount
    from jaffle_shop.stg_payments
    group by order_id
),

ordered as (
    select
        orders.customer_id,
        min(orders.order_date) as first_order,
        max(orders.order_date) as most_recent_order,
        count(orders.order_id) as number_of_orders,
        sum(paid.amount) as customer_lifetime_value
    from jaffle_shop.stg_orders as orders
    left join paid on orders.order_id = paid.order_id
    group by orders.customer_id
)

select customers.*, ordered.* exclude (customer_id)
from jaffle_shop.stg_customers as customers
left join ordered on customers.customer_id = ordered.customer_id
