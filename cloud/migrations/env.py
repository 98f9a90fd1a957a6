"""What Alembic runs: on the connection that `cloud.database` hands over. Adapter."""

from alembic import context

from cloud.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    compare_type=True,
)
context.run_migrations()
