# Eridanus with its embedded MongoDB: docker run -p 1026:1026 -v eridanus:/data eridanus
# With a MongoDB of your own, set BROKER_MONGO_URI; /data is then not used.

FROM python:3.11-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /venv
COPY pyproject.toml README.md ./
COPY broker broker
COPY specs/openapi.yaml specs/
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check '.[embedded]'

FROM python:3.11-slim-bookworm
# libcurl4 is what the embedded MongoDB links to beyond the C library and OpenSSL.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libcurl4 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home eridanus \
 && install --directory --owner=eridanus --group=eridanus --mode=0700 /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 BROKER_DATA_DIR=/data
USER eridanus
VOLUME /data
EXPOSE 1026
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s CMD ["python", "-c", \
  "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.getenv('BROKER_PORT', '1026')}/health/ready\", timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["eridanus"]
CMD ["serve"]
