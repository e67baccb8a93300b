"""Sockets: the server side (`server`, `listener`, `server_connection`) and the client side (`client_connection`).

Frames go in and out here; what they mean is the business of who is called with them. A `Server` is shared by all
listeners of a broker and by their connections; `limits` says what clients may take, `budget` shares out the memory of
requests.
"""
