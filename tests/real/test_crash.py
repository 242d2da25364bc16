"""Kill -9 of Postgres, of the app and of the Inngest stand-in at random points of a mixed load: nothing is lost."""
