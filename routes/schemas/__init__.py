"""The JSON the API takes and gives, as JSON schemas; ``/openapi.json`` and ``/docs`` show them."""

from typing import Any

from routes.schemas import follow_up, jobs, metia, status

SCHEMAS: dict[str, Any] = {**jobs.SCHEMAS, **follow_up.SCHEMAS, **status.SCHEMAS, **metia.SCHEMAS}
