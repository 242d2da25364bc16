"""The projections: one module each, found by itself. See `penstock.projections.projection`."""
