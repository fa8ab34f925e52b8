# Every service and the command (`service`), and the workers that need more than Python: `worker-kvm`, `worker-xen`.
# `make images` puts Python's libraries and ours into the context, compiled: var/images/python. They change most
# often, so they come last: Debian's packages are not fetched again for them.
ARG BASE=xenops/base:dev

FROM ${BASE} AS host
RUN useradd --uid 1000 --home-dir /var/lib/xenops --create-home xenops \
 && install -d -o xenops /run/xenops /etc/xenops/hooks /credentials
COPY images/healthy /usr/local/bin/healthy
ENV PATH=/opt/xenops/bin:/usr/local/bin:/usr/sbin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    XENOPS_STATE_DIR=/var/lib/xenops XENOPS_HOOKS_DIR=/etc/xenops/hooks
WORKDIR /var/lib/xenops
HEALTHCHECK --interval=5s --timeout=10s --retries=12 CMD ["healthy"]

FROM host AS service
COPY var/images/python /opt/xenops
USER xenops

FROM host AS qemu
RUN apt-get update -qq \
 && apt-get install -qq --yes --no-install-recommends qemu-system-x86 qemu-utils nftables ovmf swtpm swtpm-tools \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt

FROM qemu AS worker-kvm
COPY var/images/python /opt/xenops
USER xenops
CMD ["python", "-m", "worker_kvm"]

# Bindings are compiled against the headers of Debian's Xen, by which the worker finds them again.
FROM host AS xen
RUN apt-get update -qq \
 && apt-get install -qq --yes --no-install-recommends libxen-dev xen-utils-common nftables kmod \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt

FROM xen AS compiler
RUN apt-get update -qq \
 && apt-get install -qq --yes --no-install-recommends gcc python3-dev

FROM compiler AS bindings
COPY var/images/python /opt/xenops
RUN python -m worker_xen.prepare /var/cache/xenops/bindings

FROM xen AS worker-xen
COPY var/images/python /opt/xenops
COPY --from=bindings /var/cache/xenops/bindings /var/cache/xenops/bindings
COPY images/xen-worker /usr/local/bin/xen-worker
CMD ["xen-worker"]
