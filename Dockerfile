# One file, one image per service: docker build --build-arg SERVICE=llm-service -t synapscale/llm-service .
# SERVICE is a folder of the workspace; `launcher` is the one that migrates.
FROM python:3.13-slim AS build
ARG SERVICE
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PROJECT_ENVIRONMENT=/app/.venv
WORKDIR /src
COPY . .
# The lock has the hash of everything that is installed.
RUN test -n "$SERVICE" \
 && pip install --no-cache-dir --quiet uv==0.13.9 \
 && python -m venv /app/.venv \
 && uv sync --quiet --frozen --no-dev --no-editable --no-cache --package "synapscale-$SERVICE" \
 && cp -r config alembic.ini migrations /app/ \
 && mkdir /data

FROM python:3.13-slim
ARG SERVICE
LABEL org.opencontainers.image.title="synapscale-$SERVICE" org.opencontainers.image.licenses="MIT"
# Nothing in the image is writable for its user but /data.
RUN useradd --system --uid 10001 --home-dir /app --no-create-home synapscale
COPY --from=build /app /app
COPY --from=build --chown=synapscale /data /data
WORKDIR /app
USER synapscale
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SYNAPSCALE_DATA_DIR=/data
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
ENTRYPOINT []
CMD ["python", "-m", "shared.server", "--help"]
