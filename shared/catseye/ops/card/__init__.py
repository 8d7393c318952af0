"""A model's card: what a person reads before trusting a version (Mitchell et al., 2019, "Model Cards"). All pure:
`figures` counts, `contents` says what the card says, `page` writes it as one HTML file.
"""
