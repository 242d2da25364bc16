"""This deployment's app: the shop, and the Inngest functions of `functions/`."""

from functions import FUNCTIONS
from penstock.http.app import create_app
from shop import DOMAIN

app = create_app(DOMAIN, functions=FUNCTIONS)
