"""The Inngest functions that every deployment has, one a file; file, function and id bear one name."""
