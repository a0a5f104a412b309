"""A prompt in, the model that should answer it out, with reasons. The answer too, if you want.

>>> from router import route
>>> route("translate 'good morning' into Japanese").task
'translation'
"""

import lazy_loader

__version__ = "0.1.0"

# The public names stand once, in __init__.pyi. A name is imported when it is first used: all of them together take longer
# to import than many a script takes to run.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
