"""The engines of ``dli dataset run``, each on its own driver, which is loaded when it connects."""
