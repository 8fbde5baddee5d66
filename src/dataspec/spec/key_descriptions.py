"""What each key of a Dataset Spec means, in the words that an editor shows beside it.

They stand apart from the model, which every command reads and only the JSON Schema describes.
"""

from __future__ import annotations

MODELS = {
    "DatasetSpec": "One dataset: what it is, its SQL, and when it is built.",
    "Statement": "A statement that runs before or after the query, in one session with it.",
    "Parameter": "A value that a run takes and the SQL sees by its name.",
    "Column": "A column that the query yields.",
    "Execution": "Where and for how long the SQL runs.",
    "ScheduleConfig": "When the dataset is built by itself. Without it, it runs when somebody asks.",
    "RetryConfig": "What follows a failed attempt.",
    "NotificationConfig": "Who is told, and of what.",
    "SlackTarget": "A Slack channel.",
    "EmailTarget": "One or more mail addresses.",
    "WebhookTarget": "An address that gets a POST.",
    "NamedTarget": "A target that the server's settings define.",
}
"""Each model, as a whole."""

KEYS = {
    "DatasetSpec.name": (
        "The dataset's identity, and its DAG's id in Airflow. Letters A-Z a-z, digits, '_', '-' and '.'; "
        "200 characters at most."
    ),
    "DatasetSpec.type": "Always Dataset: by it the file is known to be a Dataset Spec.",
    "DatasetSpec.owner": "The e-mail address of who answers for the dataset; shown everywhere.",
    "DatasetSpec.team": 'The team, as "@name", in quotes: @ means something in YAML.',
    "DatasetSpec.description": "What the dataset holds, in a sentence or two. 5,000 letters at most.",
    "DatasetSpec.tags": "Words to find the dataset by; they become tags of its DAG.",
    "DatasetSpec.domains": "The business domains that the dataset belongs to.",
    "DatasetSpec.query_file": "The file with the SQL, relative to this one. Give this or query_statement.",
    "DatasetSpec.query_statement": "The SQL itself, a Jinja template. Give this or query_file.",
    "DatasetSpec.pre_statements": "Statements before the query, in order, in one session with it.",
    "DatasetSpec.post_statements": "Statements after the query, in order, in one session with it.",
    "DatasetSpec.parameters": "The values that a run takes. A run that gives any other is refused.",
    "DatasetSpec.depends_on": "The names of the datasets that this one reads.",
    "DatasetSpec.schema": "The columns that the query yields.",
    "DatasetSpec.execution": "Where and for how long the SQL runs.",
    "DatasetSpec.schedule": "When the dataset is built by itself. Without it, it runs when somebody asks.",
    "Statement.name": "What the statement is called in logs.",
    "Statement.sql": "The SQL itself, a Jinja template. Give this or file.",
    "Statement.file": "The file with the SQL, relative to this one. Give this or sql.",
    "Statement.continue_on_error": "Whether the run goes on where this statement fails.",
    "Parameter.name": "The name by which runs give the value and the SQL uses it.",
    "Parameter.type": "What the value is; text is read as it, anything else is refused.",
    "Parameter.required": "Whether a run must give it. One with a default need not be given.",
    "Parameter.default": "The value of a run that gives none.",
    "Parameter.description": "What the value is for.",
    "Parameter.choices": "The only values that are taken; of a list, its items.",
    "Column.name": "The column's name.",
    "Column.type": "The column's type, in the engine's words.",
    "Column.description": "What the column holds.",
    "Execution.connection": "The engine: a connection of Airflow, and an entry of 'connections' in dli.yaml.",
    "Execution.dialect": "The SQL's dialect; that of the connection if not given.",
    "Execution.timeout_seconds": "An attempt that takes longer is ended and its query cancelled.",
    "ScheduleConfig.cron": "Minute, hour, day of month, month and day of week, such as \"0 9 * * *\"; in 'timezone'.",
    "ScheduleConfig.enabled": "false: no scheduled runs; runs by hand still work.",
    "ScheduleConfig.timezone": "The time zone in which the cron ticks, by its IANA name, such as Asia/Seoul.",
    "ScheduleConfig.retry": "What follows a failed attempt.",
    "ScheduleConfig.notifications": "Who is told, and of what.",
    "RetryConfig.max_attempts": "How many retries follow a failed attempt; 0 for none.",
    "RetryConfig.delay_seconds": "Seconds between two attempts.",
    "NotificationConfig.on_failure": "Who is told when a run fails.",
    "NotificationConfig.on_success": "Who is told when a run completes.",
    "NotificationConfig.on_source_change": "Who is told when code takes the dataset over, or gives it back.",
    "SlackTarget.type": "A Slack channel.",
    "SlackTarget.channel": 'The channel, such as "#data-alerts", in quotes: # begins a comment in YAML.',
    "EmailTarget.type": "One or more mail addresses.",
    "EmailTarget.to": "An address, or a list of up to 50.",
    "WebhookTarget.type": "An address that gets a POST.",
    "WebhookTarget.url": "An http or https address, without credentials.",
    "NamedTarget.type": "A target that the server's settings define.",
    "NamedTarget.name": "The target's name in the server's settings.",
}
"""Each key, by its model."""
