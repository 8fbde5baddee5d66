"""Turn a dbt project into Dataset Specs: read its files, translate its templates, tests and macros."""
