"""A model's card: what a person reads before trusting a version (Mitchell et al., 2019, "Model Cards"). All pure:
`figures` counts, `contents` decides what the card has, `page` writes it as one HTML file.
"""
