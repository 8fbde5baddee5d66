"""Turn the tests of a dbt project into checks and unit tests."""
