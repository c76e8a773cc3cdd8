# One image for all six services: `docker run IMAGE intake`. Also built without a container engine, by buildah (BASE replaces the base).
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
COPY requirements.image.lock /build/
# Wheels alone: nothing is compiled, so there is no compiler to leave out. Who has a package index of their own says so by
# `--secret id=pip.conf,src=…`, and its authority by `--secret id=ca.pem,src=…` (`cert = /run/secrets/ca.pem`).
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    python3 -m venv --copies /opt/dsr/venv \
    && /opt/dsr/venv/bin/python -m pip install --no-cache-dir --no-compile --require-hashes --only-binary :all: \
        --requirement /build/requirements.image.lock \
    && /opt/dsr/venv/bin/python -m pip uninstall --yes pip
COPY shared /opt/dsr/shared
COPY services /opt/dsr/services
RUN cp /opt/dsr/services/dsr /opt/dsr/venv/bin/ \
    && /opt/dsr/venv/bin/python -m compileall -q /opt/dsr

# The base without what installs software or lends powers, which nobody needs who only runs it.
FROM ${BASE} AS system
RUN groupadd --gid 10001 dsr \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin dsr \
    && rm -rf /usr/bin/apt* /usr/bin/dpkg* /usr/sbin/dpkg* /etc/apt /usr/lib/apt /usr/lib/dpkg /usr/libexec/dpkg \
        /var/lib/apt /var/cache/apt /var/log/* \
        /usr/local/bin/pip* /usr/local/lib/python*/site-packages/pip* /usr/local/lib/python*/ensurepip \
        /usr/lib/python*/ensurepip /usr/share/python-wheels \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +

FROM scratch
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Data subject requests" \
      org.opencontainers.image.description="Intake, erasure, export, amendment, deadline and correspondence; the argument picks which" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The whole of it, as one layer: what was removed is in no layer below either.
# hadolint ignore=DL3067
COPY --from=system / /
COPY --from=build /opt/dsr /opt/dsr
ENV PATH=/opt/dsr/venv/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DSR_HTTP_HOST=0.0.0.0 \
    DSR_HTTP_PORT=8080
WORKDIR /opt/dsr
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["dsr", "health"]
ENTRYPOINT ["dsr", "run"]
