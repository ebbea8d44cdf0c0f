# An image for CPUs, about 1.4 GB, half of it torch.
#
#   docker build -t enhance .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" enhance denoise in.wav -o clean.wav
#
# The second line cleans in.wav of the current folder to clean.wav beside it. Exit codes and flags are those of `enhance`.
FROM python:3.12-slim
WORKDIR /src
COPY pyproject.toml README.md LICENSE LICENSE_weights weights.toml ./
COPY docs/enhance.1 docs/
COPY enhance_cli enhance_cli/
RUN pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --torch-backend=cpu . \
    && rm -rf /src/enhance_cli
ENV HOME=/tmp ENHANCE_HOME=/tmp/enhance
WORKDIR /data
ENTRYPOINT ["enhance"]
CMD ["--help"]
