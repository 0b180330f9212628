# The commands of dsa-reid in a container (docs/install.md):
#   docker build -t dsa-reid .
#   docker build -t dsa-reid:cuda --build-arg DEVICE=cuda .
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

# cpu takes PyTorch's build without CUDA; cuda the one that brings CUDA's libraries, for `docker run --gpus all`
ARG DEVICE=cpu

# opencv-python needs these; Debian keeps no old versions that could be named
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/dsa-reid
COPY requirements-pipeline.lock ./
# as in the Makefile: the packages of the lock file, each with its SHA-256; PyTorch without CUDA has an index of its own
# hadolint ignore=SC2046
RUN set -e; lock=requirements-pipeline.lock; \
    if [ "$DEVICE" = cpu ]; then \
      pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu \
        $(sed -n 's/^\(torch==[0-9.]*\|torchvision==[0-9.]*\).*/\1+cpu/p' $lock); \
      awk '/^[^ ]/ { cuda = /^(torch|torchvision|triton|cuda-[a-z]+|nvidia-(c|nccl|nv)[a-z0-9-]+)==/ } !cuda' $lock > used.lock; \
    else \
      cp $lock used.lock; \
    fi; \
    pip install --no-cache-dir --no-deps --require-hashes --requirement used.lock

COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY dsa_reid dsa_reid
COPY dsa_app dsa_app
COPY data data
COPY densepose_extract densepose_extract
COPY dsap dsap
COPY train train
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

# any user may write here, so that --user "$(id -u):$(id -g)" works with mounted folders
RUN useradd --uid 1000 --create-home dsa && mkdir /work && chmod 0777 /work /home/dsa
ENV HOME=/home/dsa
USER 1000
WORKDIR /work
CMD ["dsa-train", "--help"]
