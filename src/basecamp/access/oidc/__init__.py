"""Sign-in at OpenID Connect providers: their settings, their keys, and the tokens that they sign."""
