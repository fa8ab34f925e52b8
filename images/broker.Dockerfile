# A node of RabbitMQ.
ARG BASE=xenops/base:dev

FROM ${BASE} AS rabbitmq
RUN apt-get update -qq \
 && apt-get install -qq --yes --no-install-recommends rabbitmq-server \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt \
 && install -d -o rabbitmq /var/run/rabbitmq
COPY greets /usr/local/bin/greets
COPY broker /usr/local/bin/broker
COPY --chown=rabbitmq rabbitmq.conf peer.conf inetrc /etc/rabbitmq/
ENV RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_LOGS=- ERL_INETRC=/etc/rabbitmq/inetrc HOME=/var/lib/rabbitmq \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+SP 50:50 -kernel net_ticktime 15 net_setuptime 2"
WORKDIR /var/lib/rabbitmq
USER rabbitmq
EXPOSE 5672
HEALTHCHECK --interval=3s --timeout=15s --retries=30 CMD ["greets"]
CMD ["broker"]
