# Prometheus, for the profile of that name.
ARG BASE=xenops/base:dev

FROM ${BASE} AS prometheus
RUN apt-get update -qq \
 && apt-get install -qq --yes --no-install-recommends prometheus \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /usr/bin/promtool /usr/share/javascript/moment-timezone \
 && useradd --uid 1000 --home-dir /var/lib/xenops --create-home xenops
WORKDIR /var/lib/xenops
USER xenops
HEALTHCHECK --interval=5s --timeout=10s --retries=12 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9090/-/ready', timeout=5)"]
CMD ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/var/lib/xenops", \
     "--web.listen-address=127.0.0.1:9090"]
