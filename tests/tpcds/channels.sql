with sales as (
  select ss_store_sk as store_sk, ss_sold_date_sk as date_sk, ss_ext_sales_price as sales_price,
    ss_net_profit as profit, cast(0 as decimal(7, 2)) as return_amt, cast(0 as decimal(7, 2)) as net_loss
  from store_sales
  union all
  select sr_store_sk, sr_returned_date_sk, cast(0 as decimal(7, 2)), cast(0 as decimal(7, 2)), sr_return_amt, sr_net_loss
  from store_returns
),
by_store as (
  select s_store_id, sum(sales_price) as sales, sum(profit) as profit, sum(return_amt) as returns_, sum(net_loss) as loss
  from sales, date_dim, store
  where date_sk = d_date_sk and d_date between date '2000-08-23' and date '2000-09-06' and store_sk = s_store_sk
  group by s_store_id
)
select channel, id, sum(sales) as sales, sum(returns_) as returns_, sum(profit) as profit
from (
  select 'store channel' as channel, 'store' || s_store_id as id, sales, returns_, (profit - loss) as profit from by_store
  union all
  select 'catalog channel', 'page' || cs_catalog_page_sk, cs_ext_sales_price, coalesce(cr_return_amount, 0), cs_net_profit
  from catalog_sales left outer join catalog_returns on cs_item_sk = cr_item_sk and cs_order_number = cr_order_number
) x
group by rollup (channel, id)
order by channel, id
