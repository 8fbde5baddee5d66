"""The Python client of Basecamp's API, synchronous and asynchronous; ``dli`` exports both classes.

``calls`` and ``logins`` describe each call once, ``protocol`` turns it into an HTTP request and the response into a model or an
error, ``client`` and ``async_client`` send it. ``polling`` follows runs; ``addresses`` finds server and proxy.
"""
