# What schedules: Airflow with the stages it runs. `airflow` commands are its own; the DAGs come from the checkout.
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends git libgomp1 && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv
WORKDIR /shop
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY pipelines pipelines
RUN uv sync --locked --no-default-groups --extra learn --extra airflow --compile-bytecode

FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home shelflife
WORKDIR /shop
COPY --from=build /shop/.venv .venv
COPY --chown=10001:10001 . .
ENV PATH=/shop/.venv/bin:$PATH SHELFLIFE_HOME=/state SHELFLIFE_ROOT=/shop AIRFLOW_HOME=/state/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/shop/dags AIRFLOW__CORE__LOAD_EXAMPLES=False OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive DO_NOT_TRACK=1
USER 10001
VOLUME /state
EXPOSE 8080
ENTRYPOINT ["airflow"]
CMD ["version"]
