# What learns: the stages of dvc.yaml and the command line.
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends git libgomp1 && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv
WORKDIR /shop
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY pipelines pipelines
RUN uv sync --locked --no-default-groups --extra learn --compile-bytecode

FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home shelflife
WORKDIR /shop
COPY --from=build /shop/.venv .venv
COPY --chown=10001:10001 . .
ENV PATH=/shop/.venv/bin:$PATH SHELFLIFE_HOME=/state OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive DO_NOT_TRACK=1 DVC_NO_ANALYTICS=1
USER 10001
VOLUME /state
ENTRYPOINT ["python", "-m", "pipelines"]
CMD ["--help"]
