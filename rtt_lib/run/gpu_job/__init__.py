"""A profile's runs on a machine without network and with a time limit: packed here, merged here again.

`pack` leaves parts and the commands that run them, `start` and `work` run there with one `arm` a process, and `merge`
adds what comes back to the published records. Policies stay there.
"""
