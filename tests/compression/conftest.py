from hypothesis import settings

# how long one example takes says more about the machine's other work than about the code
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")
