"""The ledger's SQL: a batch is one statement that adds rows and their sums, however many rows it has."""

from typing import NamedTuple

from llm_service.ledger.records import LONGEST_WORD, SUMS, TOKEN_KINDS

WORDS = ("organization_id", "user_id", "session_id", "key_id", "source", "request_id", "model_asked")
ANSWERED = ("model", "provider")


class _Table(NamedTuple):
    name: str
    unit: str
    users: bool


FINEST = _Table("user_usage_hours", "hour", users=True)
COARSER = (
    _Table("user_usage_days", "day", users=True),
    _Table("user_usage_months", "month", users=True),
    _Table("usage_hours", "hour", users=False),
    _Table("usage_days", "day", users=False),
)


def _words(*names: str, of: str) -> str:
    """Cut, because an index has no room for more, and what a client or provider made up must not keep a row out."""
    return ", ".join(f"coalesce(left({of}.{name}, {LONGEST_WORD}), '') AS {name}" for name in names)


def _key(table: _Table) -> list[str]:
    return ["organization_id", "starts_at", *(["user_id", "key_id"] if table.users else []), "model", "provider"]


def _inserted(table: _Table, rows: str) -> str:
    key = ", ".join(_key(table))
    added = ", ".join(f"{name} = u.{name} + excluded.{name}" for name in SUMS)
    return f"""INSERT INTO llm.{table.name} AS u ({key}, {", ".join(SUMS)})
    {rows} ON CONFLICT ({key}) DO UPDATE SET {added}"""  # of names in this file


def _coarser(table: _Table) -> str:
    """The sums of sums. In the same order for all writers, so that no two wait for each other."""
    key = [name if name != "starts_at" else f"date_trunc('{table.unit}', starts_at, 'UTC')" for name in _key(table)]
    groups = ", ".join(str(number + 1) for number in range(len(key)))
    sums = ", ".join(f"sum({name})" for name in SUMS)
    rows = f"SELECT {', '.join(key)}, {sums} FROM summed GROUP BY {groups} ORDER BY {groups}"  # noqa: S608 # of names
    return _inserted(table, rows)


def _all_summed(*, sign: str = "") -> str:
    """Ends a statement that has `changed` requests and `tried` attempts: lines are read once, for the finest."""
    tables = "".join(f", in_{table.name} AS (\n    {_coarser(table)})" for table in COARSER)
    return f"""lines AS (
    SELECT organization_id, created_at, user_id, key_id, model, provider,
      1 AS requests, (result <> 'completed')::int AS failed, cached::int AS cached, 0 AS attempts,
      0 AS estimated, 0 AS unpriced, 0::numeric AS cost_usd, {", ".join(f"0 AS {name}" for name in TOKEN_KINDS)}
    FROM changed
    UNION ALL
    SELECT c.organization_id, c.created_at, c.user_id, c.key_id, t.model, t.provider,
      0, 0, 0, 1, t.estimated::int, (t.cost_usd IS NULL)::int, coalesce(t.cost_usd, 0),
      {", ".join(f"t.{name}" for name in TOKEN_KINDS)}
    FROM tried t JOIN changed c ON c.id = t.request_id AND c.organization_id = t.organization_id
    WHERE t.result <> 'skipped'
  ), summed AS MATERIALIZED (
    SELECT organization_id, date_trunc('hour', created_at, 'UTC') AS starts_at, user_id, key_id, model, provider,
      {", ".join(f"{sign}sum({name}) AS {name}" for name in SUMS)}
    FROM lines GROUP BY 1, 2, 3, 4, 5, 6
  ){tables}
  {_inserted(FINEST, "SELECT * FROM summed ORDER BY 1, 2, 3, 4, 5, 6")}"""  # noqa: S608 # of names in this file


def appending(told: str) -> str:
    """`told` selects rows of `llm.told_request`. A request that is there already is not added again."""
    tokens = ", ".join(TOKEN_KINDS)
    answered = ", ".join(f"coalesce(left((a).{name}, {LONGEST_WORD}), '') AS {name}" for name in ANSWERED)
    spent = ", ".join(f"sum({name})::bigint AS {name}" for name in TOKEN_KINDS)
    return f"""
  WITH told AS MATERIALIZED ({told}
  ), one AS MATERIALIZED (
    SELECT id, left(organization_id, {LONGEST_WORD}) AS organization_id, unnest(attempts) AS a FROM told
  ), given AS MATERIALIZED (
    SELECT id, organization_id, (a).number, {answered},
      left((a).key, {LONGEST_WORD}) AS key, (a).result, left((a).error, {LONGEST_WORD}) AS error, (a).status,
      {", ".join(f"coalesce(((a).usage).{name}, 0) AS {name}" for name in TOKEN_KINDS)}, (a).cost_usd,
      coalesce(((a).usage).estimated, false) AS estimated, (a).first_content_ms, (a).total_ms, (a).created_at FROM one
  ), spent AS (
    SELECT id AS of, {spent}, CASE WHEN count(cost_usd) = count(*) THEN sum(cost_usd) END AS cost_usd,
      bool_or(estimated) AS estimated FROM given GROUP BY id
  ), changed AS (
    INSERT INTO llm.requests (id, {", ".join(WORDS + ANSWERED)}, stream, result, error, cached, first_content_ms,
      total_ms, overhead_ms, created_at, {tokens}, cost_usd, estimated)
    SELECT t.id, {_words(*WORDS, *ANSWERED, of="t")}, t.stream, t.result, left(t.error, {LONGEST_WORD}),
      coalesce(t.cached, false), t.first_content_ms, t.total_ms, t.overhead_ms, t.created_at,
      {", ".join(f"coalesce(s.{name}, 0)" for name in TOKEN_KINDS)},
      CASE WHEN s.of IS NULL THEN 0 ELSE s.cost_usd END, coalesce(s.estimated, false)
    FROM told t LEFT JOIN spent s ON s.of = t.id ORDER BY t.id
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING id, organization_id, user_id, key_id, model, provider, result, cached, created_at
  ), tried AS (
    INSERT INTO llm.attempts (request_id, organization_id, number, model, provider, key, result, error, status,
      {tokens}, cost_usd, estimated, first_content_ms, total_ms, created_at)
    SELECT g.* FROM given g JOIN changed c ON c.id = g.id AND c.organization_id = g.organization_id
    RETURNING request_id, organization_id, model, provider, result, estimated, cost_usd, {tokens}
  ), {_all_summed()}"""  # noqa: S608 # of names in this file


APPEND = appending("SELECT * FROM jsonb_populate_recordset(NULL::llm.told_request, CAST(:told AS jsonb))")
RETRACT = f"""
  WITH changed AS (
    DELETE FROM llm.requests WHERE organization_id IS NOT NULL AND id = ANY(:ids) AND result = 'lost' RETURNING *
  ), tried AS (
    DELETE FROM llm.attempts t USING changed
    WHERE t.request_id = changed.id AND t.organization_id = changed.organization_id RETURNING t.*
  ), {_all_summed(sign="-")}"""  # noqa: S608 # of names in this file
