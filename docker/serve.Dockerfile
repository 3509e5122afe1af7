# What answers: no training library, no git, no DVC.
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv
WORKDIR /shop
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY pipelines pipelines
RUN uv sync --locked --no-default-groups --compile-bytecode

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home shelflife
WORKDIR /shop
COPY --from=build /shop/.venv .venv
COPY pyproject.toml params.yaml ./
COPY pipelines pipelines
ENV PATH=/shop/.venv/bin:$PATH SHELFLIFE_HOME=/state OMP_NUM_THREADS=1
USER 10001
VOLUME /state
EXPOSE 8000
ENTRYPOINT ["python", "-m", "pipelines"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
