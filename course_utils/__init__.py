"""The course's own library, level by level; a part imports from its own level or from lower ones.

0. ``runtime`` profile, device, seeds, folders · ``images`` value ranges and axis order ·
   ``diffusion`` noise schedule and training objective · ``unet`` a small denoiser ·
   ``augment`` classical augmentation · ``metrics`` tensors to numbers ·
   ``texts`` what learners read · ``hub`` where models and data sets come from ·
   ``archives`` unpacked safely
1. ``samplers`` the reverse process · ``xbd`` the disaster data set on disk
2. ``examples`` labelled and captioned images, where they come from, splits and shots ·
   ``zero_shot`` CLIP without training
3. ``text2image`` sentences to pictures
4. ``control`` maps, masks and metadata as conditions · ``strategies`` better synthetic data ·
   ``tuning`` training the classifier
5. ``lab`` arms, ratios and seeds to one table of results
6. ``plots`` data in, figure out · ``checks`` exercises that check themselves
7. ``widgets`` sliders over plots · ``grading`` rerun and grade submissions

The procedural world is a package of its own beside this one, ``mini_earth``, and imports nothing
of it.

Importing the package loads none of them; ``from course_utils.metrics import accuracy`` loads one,
and names its file.
"""

__version__ = "0.1.0"
