"""The HTTP face: `penstock.http.app.create_app` builds the app of a deployment's domains and Inngest functions."""
