FROM python:3.12-slim
RUN apt-get update \
  && apt-get install --yes --no-install-recommends git \
  && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 user
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
USER user
ENV MAELIB_APP_PATHS=off MAELIB_APP_MAX_MB=20 \
  STREAMLIT_SERVER_XSRF_COOKIE_SAME_SITE=none
EXPOSE 7860
CMD ["maelib", "app", "--host", "0.0.0.0", "--port", "7860", \
  "--max-mb", "20", "--no-browser"]
