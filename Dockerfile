# Loadstone in an image with nothing else, of a release's archive:
#
#   ./release v1.2.3
#   docker build -t loadstone -f Dockerfile dist
#   docker run --rm loadstone bench -n 10
#   docker run --rm -p 127.0.0.1:8080:8080 loadstone                  serves the embedded model
#
# compose.yaml has a server and a client that measures it. Dockerfile.mlx is the same with MLX.
FROM scratch AS archive
ARG TARGETARCH=amd64
ADD loadstone-v*-linux-${TARGETARCH}.tar.gz /
# An empty folder, to be the user's.
WORKDIR /empty

FROM scratch
COPY --from=archive /loadstone-v*/ /
# Results, models and memories are written to /data, by a user who owns nothing else.
COPY --from=archive --chown=65532:65532 /empty /data
ENV HOME=/data TMPDIR=/data
WORKDIR /data
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/loadstone"]
CMD ["serve", "-addr", "0.0.0.0:8080"]
