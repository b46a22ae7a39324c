# One image for every service; the service chooses the command (app/topology/services.py).
# docs/reference/image.md says what is promised and how it was proven.
#
# The minor version is pinned, the digest is not: it was unknown where this file was written. A release pins it with
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:… --build-arg RELEASE=$(git rev-parse HEAD) .
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS builder
WORKDIR /srv/millrace
# The environment holds no pip: the builder's installs into it from outside.
RUN python -m venv --without-pip /opt/venv
COPY requirements.txt ./
# Wheels only: nothing is compiled, so that neither stage needs a compiler.
RUN python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --only-binary :all: --require-hashes -r requirements.txt
COPY app/ app/
# The root is read-only at run time. Unchecked: the sources cannot change, and a layer may change their times.
RUN /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib app

FROM ${PYTHON_IMAGE} AS runtime
# The base image's pip could only be misused.
RUN python -m pip uninstall --yes --root-user-action=ignore pip \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin millrace \
 && mkdir /run/millrace \
 && chown 10001:10001 /run/millrace
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /srv/millrace/app /srv/millrace/app
WORKDIR /srv/millrace
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/srv/millrace \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    SERVICE=web \
    PULSE_DIRECTORY=/run/millrace
# The root is read-only; a volume made from these begins with their owner.
VOLUME ["/tmp", "/run/millrace"]
USER 10001:10001
STOPSIGNAL SIGTERM
# ECS reads its own health checks from the topology; this one is for everybody else.
HEALTHCHECK --start-period=60s CMD ["python", "-m", "app.config.probe"]
CMD ["gunicorn", "--config", "python:app.config.gunicorn", "app.config.wsgi:application"]

# Last, because it differs in every build.
ARG RELEASE=development
ENV RELEASE=${RELEASE}
LABEL org.opencontainers.image.title="millrace" \
      org.opencontainers.image.description="Background jobs on SQS: web, workers, beat and outbox relay" \
      org.opencontainers.image.version="${RELEASE}" \
      org.opencontainers.image.revision="${RELEASE}"
