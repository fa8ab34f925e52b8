# What all images stand on: a lean Debian with Python. `make images` builds it, and the others after it, from a base of
# Debian's packages where no registry is at hand.
ARG BASE=debian:12-slim

FROM ${BASE} AS base
ENV LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
COPY lean /etc/dpkg/dpkg.cfg.d/lean
RUN command -v python3 >/dev/null \
 || { apt-get update -qq \
   && apt-get install -qq --yes --no-install-recommends python3 \
   && rm -rf /var/lib/apt/lists/* /var/cache/apt; }
