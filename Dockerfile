# The app, for hosts that run containers: docs/deploy.md, Elsewhere. Settings and secrets come with `docker run`, never into
# the image, and `.dockerignore` keeps `.env` out of it.
FROM python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /srv

# The versions that the lock names, without the extra `local` and what it brings; uvicorn serves the app.
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY requirements requirements
COPY penstock penstock
COPY supabase/migrations supabase/migrations
RUN sed -e '/--hash/d' -e 's/ *\\$//' requirements/local.txt > /tmp/pins.txt \
    && pip install --no-cache-dir --constraint /tmp/pins.txt . uvicorn \
    && rm -r /tmp/pins.txt penstock build *.egg-info

COPY shop shop
COPY functions functions
COPY app app
RUN useradd --system --no-create-home penstock && install -d -o penstock .penstock
USER penstock

EXPOSE 8000
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log"]
