# One file, one image per service: docker build --build-arg SERVICE=llm-service -t synapscale/llm-service .
# SERVICE is a folder of the workspace; `launcher` is the one that migrates.
FROM python:3.13-slim AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PROJECT_ENVIRONMENT=/app/.venv
RUN pip install --no-cache-dir --quiet --root-user-action=ignore uv==0.13.9 && mkdir /app /data /ledger && python -m venv /app/.venv
WORKDIR /src
COPY . .
RUN cp -r config alembic.ini migrations /app/
ARG SERVICE
# The lock has the hash of everything that is installed.
RUN test -n "$SERVICE" \
 && uv sync --quiet --frozen --no-dev --no-editable --no-cache --package "synapscale-$SERVICE"
# The launcher has a command `synapscale`; of auth-service it is a module, or both would claim the name in one environment.
RUN test "$SERVICE" != auth-service \
 || (printf '#!/bin/sh\nexec python -m auth_service "$@"\n' > .synapscale-command \
  && install -m 755 .synapscale-command /app/.venv/bin/synapscale)

FROM python:3.13-slim
# Nothing in the image is writable for its user but /data, and /ledger where llm-service's usage waits for PostgreSQL.
RUN useradd --system --uid 10001 --home-dir /app --no-create-home synapscale
COPY --from=build --chown=synapscale /data /data
COPY --from=build --chown=synapscale /ledger /ledger
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SYNAPSCALE_DATA_DIR=/data
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
CMD ["python", "-m", "shared.server", "--help"]
ARG SERVICE
LABEL org.opencontainers.image.title="synapscale-$SERVICE" org.opencontainers.image.licenses="MIT"
COPY --from=build /app /app
USER synapscale
