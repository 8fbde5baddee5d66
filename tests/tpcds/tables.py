"""The columns of TPC-DS's tables that the queries here use."""

TABLES: dict[str, list[str]] = {
    "store_sales": [
        "ss_sold_date_sk", "ss_item_sk", "ss_customer_sk", "ss_store_sk", "ss_ticket_number", "ss_quantity",
        "ss_wholesale_cost", "ss_list_price", "ss_sales_price", "ss_ext_discount_amt", "ss_ext_sales_price",
        "ss_ext_wholesale_cost", "ss_ext_list_price", "ss_net_paid", "ss_net_profit",
    ],
    "store_returns": [
        "sr_returned_date_sk", "sr_item_sk", "sr_customer_sk", "sr_ticket_number", "sr_store_sk", "sr_return_quantity",
        "sr_return_amt", "sr_net_loss",
    ],
    "catalog_sales": [
        "cs_sold_date_sk", "cs_bill_customer_sk", "cs_item_sk", "cs_order_number", "cs_catalog_page_sk", "cs_quantity",
        "cs_list_price", "cs_ext_discount_amt", "cs_ext_sales_price", "cs_ext_wholesale_cost", "cs_ext_list_price",
        "cs_net_profit",
    ],
    "catalog_returns": ["cr_item_sk", "cr_order_number", "cr_return_quantity", "cr_return_amount"],
    "web_sales": [
        "ws_sold_date_sk", "ws_item_sk", "ws_bill_customer_sk", "ws_order_number", "ws_quantity", "ws_list_price",
        "ws_sales_price", "ws_ext_discount_amt", "ws_ext_sales_price", "ws_ext_wholesale_cost", "ws_ext_list_price",
    ],
    "web_returns": ["wr_item_sk", "wr_order_number", "wr_return_quantity", "wr_return_amt"],
    "inventory": ["inv_date_sk", "inv_item_sk", "inv_warehouse_sk", "inv_quantity_on_hand"],
    "date_dim": ["d_date_sk", "d_date", "d_year", "d_moy", "d_month_seq", "d_week_seq", "d_day_name"],
    "customer": [
        "c_customer_sk", "c_customer_id", "c_first_name", "c_last_name", "c_preferred_cust_flag", "c_birth_country",
        "c_login", "c_email_address",
    ],
    "store": ["s_store_sk", "s_store_id", "s_store_name", "s_state"],
    "item": [
        "i_item_sk", "i_item_id", "i_brand_id", "i_class_id", "i_category_id", "i_manufact_id", "i_category",
        "i_class", "i_current_price",
    ],
    "warehouse": ["w_warehouse_sk", "w_warehouse_name"],
}  # fmt: skip
