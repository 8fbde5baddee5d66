"""Run replicas on real servers through faults, or beside an older version, and check every promise at the end."""
