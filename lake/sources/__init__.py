"""The only room that talks to venues: what they answer becomes Arrow tables in our schema."""
