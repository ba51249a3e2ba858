"""Run by Alembic: all migrations in the one transaction that BDD.migrate has begun."""

from alembic import context

from BDD import autoroute_store, followup_models  # noqa: F401 - their tables belong to the metadata
from BDD.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
