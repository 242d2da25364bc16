"""The HTTP face: `create_app` builds the FastAPI app of a deployment's domains and Inngest functions."""

from penstock.http.app import create_app

__all__ = ["create_app"]
