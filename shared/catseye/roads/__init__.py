"""From pictures of a whole road to vehicles, each one once: motion finds boxes, tracks follow them, gates let pass what
is a vehicle that drives, views show it at its best. Pure; `catseye roadside` feeds it.
"""
