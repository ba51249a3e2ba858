"""The measurement database: typed models, all queries, migrations."""
