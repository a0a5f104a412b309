"""Labelled prompts in, a fitted task classifier out.

- `features`: Turn texts into feature blocks.
- `tasks`: Check that each task has enough prompts.
- `folds`: Decide which prompts are held out together.
- `outliers`: Make texts that contain no request.
- `linear`: Fit one logistic regression for each part of the features.
- `strength`: Choose the strength of regularisation of each part.
- `calibrate`: Fit the weights of the parts, the temperature and the threshold.
- `engine`: Encode texts and fit on this machine, or let another engine do so.
- `fit`: Combine the modules above into one classifier.
- `soft_labels`, `first_tier`: Fit the fast first tier to the classifier's answers.
- `rules`: Measure the keyword rules that answer when the classifier is unsure.
"""
