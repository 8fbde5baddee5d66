"""The Dataset Spec: from YAML to a model, and back into YAML for edits.

Start with ``model`` (the keys), ``parse`` (YAML to model, or problems with their places) and
``sql_texts`` (the SQL of a spec). ``run_values`` resolves what the SQL of one run sees.
"""
