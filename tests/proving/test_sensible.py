"""Sensible losses, written out from papers and from code that people train with: nothing is found that is not true.

Each names its source. What is found of a few is true, and stands with its reason.
"""

from __future__ import annotations

from typing import Any

import pytest

import lossdsl

B: dict[str, Any] = {"task": "binary"}
L: dict[str, Any] = {"task": "multilabel"}
C: dict[str, Any] = {"task": "multiclass"}
R: dict[str, Any] = {"task": "regression"}

# source, formula, options
SENSIBLE: list[tuple[str, str, dict[str, Any]]] = [
    # cross-entropies
    ("torch BCEWithLogitsLoss, as max(z, 0) - z*y + log(1 + exp(-|z|))",
     "mean(max(z, 0) - z*y + log(1 + exp(-abs(z))))", B),
    ("He and Garcia 2009, weighted", "-mean(3*y*log(p) + (1 - y)*log(1 - p))", B),
    ("Keras, with its epsilon", "q = clamp(p, min=1e-7, max=1 - 1e-7)\n-mean(y*log(q) + (1 - y)*log(1 - q))", B),
    ("Xie and Tu 2015, HED", "b = mean(1 - y)\n-mean(b*y*log(p) + (1 - b)*(1 - y)*log(1 - p))", B),
    ("Lin 2017, focal", "-mean(0.25*(1 - p)**2*y*log(p) + 0.75*p**2*(1 - y)*log(1 - p))", B),
    ("Lin 2017, focal of classes", "-mean(sum((1 - p)**2*y*log(p), over=class))", C),
    ("Ridnik 2021, ASL", "q = max(p - 0.05, 0)\n-mean(y*(1 - p)*log(p) + (1 - y)*q**4*log(1 - q))", L),
    ("Leng 2022, PolyLoss", "ce + mean(1 - sum(y*p, over=class))", C),
    ("Leng 2022, Poly-1 of focal", "focal + 0.5*mean((1 - y*p - (1 - y)*(1 - p))**3)", B),
    ("Szegedy 2016, label smoothing", "-mean(sum((0.9*y + 0.1/classes)*log(p), over=class))", C),
    ("Pereyra 2017, confidence penalty", "ce + 0.1*mean(sum(p*log(p), over=class))", C),
    ("Zhang and Sabuncu 2018, generalised CE", "mean((1 - sum(y*p, over=class)**0.7)/0.7)", C),
    ("Ghosh 2017, MAE of classes", "mean(sum(abs(p - y), over=class))", C),
    ("Wang 2019, symmetric CE", "0.1*ce - mean(sum(p*max(log(y), -4), over=class))", C),
    ("Ma 2020, active passive: NCE + RCE",
     "nce = mean(sum(y*log(p), over=class)/sum(log(p), over=class))\nnce + mean(4*(1 - sum(y*p, "
     "over=class)))", C),
    ("Feng 2020, Taylor CE of order 2", "q = 1 - sum(y*p, over=class)\nmean(q + q**2/2)", C),
    ("Zhou 2021, asymmetric exponential", "mean((exp(-0.5*sum(y*p, over=class)) - exp(-0.5))/0.5)", C),
    ("Mukhoti 2020, FLSD", "mean(where(sum(y*p, over=class) < 0.2, -(1 - sum(y*p, "
     "over=class))**5*sum(y*log(p), over=class), "
     "-(1 - sum(y*p, over=class))**3*sum(y*log(p), over=class)))", C),
    ("Charoenphakdee 2021 and torchvision, sigmoid focal",
     "mean(bce(reduction=none)*(1 - (p*y + (1 - p)*(1 - y)))**2)", B),
    ("Menon 2021, logit adjustment", "ce(z + [0.5, -0.2, -1], y)", C),
    ("Cao 2019, LDAM", "ce(30*(z - [0.1, 0.3, 0.5]*y), y)", C),
    ("Wang 2018, CosFace", "ce(64*(z - 0.35*y), y)", C),
    ("Zoph 2022, z-loss of routers", "ce + 1e-3*mean(logsumexp(z, over=class)**2)", C),
    ("Reed 2015, bootstrapping", "-mean(sum((0.95*y + 0.05*p)*log(p), over=class))", C),
    ("Liu 2020, early learning regularisation", "ce + 3*mean(log(1 - 0.99*sum(softmax(teacher)*p, over=class)))", C),
    ("Kendall and Gal 2017, temperature", "t = learn(0)\nce(z*exp(-t), y)", C),
    ("Hinton 2015, distillation",
     "q = softmax(teacher/4)\n0.5*ce + 8*mean(sum(q*(log(q) - log(softmax(z/4))), over=class))", C),
    ("Zhao 2022, in part: target class of DKD",
     "q = softmax(teacher/4)\nr = softmax(z/4)\nmean(sum(q*log(q/(r + 1e-6) + 1e-6), over=class))", C),
    ("Zhang 2018, mutual learning", "ce + mean(sum(softmax(peer)*(log(softmax(peer)) - log(p)), over=class))", C),
    ("Englesson 2021, Jensen-Shannon of two views", "q = softmax(view)\nm = (p + q)/2\n"
     "ce + 6*(mean(sum(p*log(p/m), over=class)) + mean(sum(q*log(q/m), over=class)))", C),
    ("Hendrycks 2020, AugMix", "a = softmax(first)\nb = softmax(second)\nm = clamp((p + a + b)/3, min=1e-7, max=1)\n"
     "ce + 4*mean(sum(p*(log(p) - log(m)) + a*(log(a) - log(m)) + b*(log(b) - log(m)), over=class))", C),
    ("Zhang 2017, mixup with two label maps", "lam = 0.3\nlam*ce(z, y) + (1 - lam)*ce(z, y2)", C),
    ("Miyato 2018, entropy minimisation", "ce - 0.1*mean(sum(p*log(p), over=class))", C),
    ("Deng 2020 in part, Gini impurity", "ce + 0.1*mean(1 - sum(p**2, over=class))", C),
    # overlaps
    ("Milletari 2016, V-Net", "1 - 2*(sum(p*y) + 1)/(sum(p**2) + sum(y**2) + 2)", B),
    ("Isensee 2021, nnU-Net",
     "ce - mean((2*sum(p*y, per=batch) + 1e-5)/(sum(p, per=batch) + sum(y, per=batch) + 1e-5))", C),
    ("Rahman and Wang 2016, soft IoU", "1 - mean((sum(p*y, per=image) + 1)/(sum(p + y - p*y, per=image) + 1))", B),
    ("Salehi 2017, Tversky", "tp = sum(p*y)\n1 - (tp + 1)/(tp + 0.3*sum(p*(1 - y)) + 0.7*sum((1 - p)*y) + 1)", B),
    ("Abraham 2018, focal Tversky",
     "t = (sum(p*y) + 1)/(sum(p*y) + 0.7*sum((1 - p)*y) + 0.3*sum(p*(1 - y)) + 1)\n(1 - t)**0.75 + bce", B),
    ("Yeung 2021, DSC++",
     "g = 2\ntp = sum(p*y)\n1 - (2*tp + 1)/(2*tp + sum((p*(1 - y))**g) + sum(((1 - p)*y)**g) + 1)", B),
    ("Yeung 2021, DSC++ of classes", "tp = sum(p*y, per=batch)\n1 - mean((2*tp + 1)/(2*tp + "
     "sum((p*(1 - y))**2, per=batch) + "
     "sum(((1 - p)*y)**2, per=batch) + 1))", C),
    ("Diakogiannis 2020, Tanimoto with complement", "a = (sum(p*y) + 1e-5)/(sum(p**2) + sum(y**2) - sum(p*y) + 1e-5)\n"
     "b = (sum((1 - p)*(1 - y)) + 1e-5)/(sum((1 - p)**2) + sum((1 - y)**2) - sum((1 - p)*(1 - y)) + "
     "1e-5)\n1 - 0.5*(a + b)", B),
    ("Wong 2018, exponential logarithmic", "(-log(1 - dice))**0.3 + ce", C),
    ("Jadon 2020, log-cosh Dice", "log(cosh(dice))", B),
    ("Bertels 2019 and Kaggle, BCE with log Dice", "bce - log(1 - dice)", B),
    ("Taghanaki 2018, combo", "0.5*bce + 0.5*dice", B),
    ("Brosch 2015, sensitivity and specificity",
     "0.05*sum((y - p)**2*y)/(sum(y) + 1e-6) + 0.95*sum((y - p)**2*(1 - y))/(sum(1 - y) + 1e-6)", B),
    ("Sudre 2017, generalised Dice",
     "w = 1/(sum(y, per=batch)**2 + 1)\n1 - 2*sum(w*sum(p*y, per=batch))/(sum(w*sum(p + y, per=batch)) + "
     "1e-5)", C),
    ("Sorensen 1948 of squares and smp, log mode", "-log((2*sum(p*y) + 1)/(sum(p) + sum(y) + 1))", B),
    ("Kervadec 2019, boundary", "dice + 0.01*mean(phi*p)", B),
    ("Karimi 2019, Hausdorff by distance maps", "dice + mean((p - y)**2*(dist_p**2 + dist_y**2))", B),
    ("Shit 2021, clDice", "0.5*dice + 0.5*cldice", B),
    ("Eelbode 2020, batch Dice and CE", "ce + dice(per=batch)", C),
    ("Chen 2019, active contour, region part", "mean(p*(1 - y)**2 + (1 - p)*y**2)", B),
    ("Abhishek 2020, MCC", "1 - (sum(p*y)*sum((1 - p)*(1 - y)) - sum(p*(1 - y))*sum((1 - p)*y))/"
     "sqrt(sum(p)*sum(y)*sum(1 - p)*sum(1 - y) + 1)", B),
    ("Cohen 1960, as a loss in competitions", "1 - (2*sum(p*y) + 1e-3)/(sum(p**2) + sum(y**2) + 1e-3)", B),
    ("Kaggle salt, Lovasz after BCE", "min(1, epoch/20)*lovasz + (1 - min(1, epoch/20))*bce", B),
    ("Kaggle steel, BCE, Dice and focal", "0.6*bce + 0.2*dice + 0.2*focal", L),
    ("Qin 2019, BASNet", "bce + iou + ssim(p, y)", B),
    ("Wei 2020, F3Net weights", "w = 1 + 5*abs(local_mean(y, size=31) - y)\nmean(bce(reduction=none), weight=w)", B),
    ("Fan 2020, PraNet, weighted IoU", "w = 1 + 5*abs(local_mean(y, size=31) - y)\n"
     "1 - mean((sum(w*p*y, per=image) + 1)/(sum(w*(p + y), per=image) - sum(w*p*y, per=image) + 1))", B),
    ("Ronneberger 2015, weight map", "mean(w*bce(reduction=none))", B),
    ("Wu 2016, hard pixels", "topk(bce(reduction=none), share=0.25)", B),
    ("Shrivastava 2016, OHEM", "topk(ce(reduction=none), share=0.0625)", C),
    ("Yi de Ferrari and total variation", "bce + 1e-3*mean(local_max(p, size=3) - local_min(p, size=3))", B),
    ("Mosinska 2018 in part, feature distance", "bce + 0.1*mean((features - true_features)**2)", B),
    # scores and hinges
    ("Cortes and Vapnik 1995, hinge", "mean(max(0, 1 - (2*y - 1)*z))", B),
    ("Rennie 2005, squared hinge", "mean(max(0, 1 - (2*y - 1)*z)**2)", B),
    ("Zhang 2004, modified Huber", "m = (2*y - 1)*z\nmean(where(m > -1, max(0, 1 - m)**2, -4*m))", B),
    ("Freund 1997, exponential of a bounded score", "mean(exp(-(2*y - 1)*tanh(z)))", B),
    ("Brier 1950", "mean((p - y)**2)", B),
    ("Brier 1950, of classes", "mean(sum((p - y)**2, over=class))", C),
    ("Good 1952, spherical score", "mean(1 - sum(y*p, over=class)/sqrt(sum(p**2, over=class) + 1e-6))", C),
    ("Crammer 2001, margin of classes", "mean(max(0, 1 - sum(y*z, over=class) + max(z - 10*y, over=class)))", C),
    # regression
    ("Gauss", "mean((pred - target)**2)", {}),
    ("Laplace", "mean(abs(pred - target))", {}),
    ("Huber 1964", "d = abs(pred - target)\nmean(where(d < 1, 0.5*d**2, d - 0.5))", {}),
    ("Charbonnier 1994", "mean(sqrt((pred - target)**2 + 1e-6))", {}),
    ("root mean squared error", "sqrt(mean((pred - target)**2) + 1e-8)", {}),
    ("Koenker 1978, quantile", "d = target - pred\nmean(max(0.9*d, -0.1*d))", {}),
    ("Varian 1975, LinEx of a bounded difference", "d = 2*tanh(pred - target)\nmean(exp(d) - d - 1)", {}),
    ("MAPE, guarded", "mean(abs(pred - target)/max(abs(target), 1e-3))", {}),
    ("SMAPE, guarded", "mean(2*abs(pred - target)/(abs(pred) + abs(target) + 1e-6))", {}),
    ("MSLE of positive outputs", "mean((log(1 + softplus(pred)) - log(1 + relu(target)))**2)", {}),
    ("Eigen 2014 and AdaBins, SILog",
     "d = log(softplus(pred) + 1e-3) - log(relu(target) + 1e-3)\n10*sqrt(mean(d**2) - 0.85*mean(d)**2 + "
     "1e-6)", {}),
    ("Eigen 2014, scale invariant without a root", "d = pred - target\nmean(d**2) - 0.5*mean(d)**2", {}),
    ("Pearson 1895, correlation",
     "a = pred - mean(pred)\nb = target - mean(target)\n1 - sum(a*b)/sqrt(sum(a**2)*sum(b**2) + 1e-6)", {}),
    ("sign-free cosine, e.g. Shen 2021",
     "c = sum(pred*target)/sqrt(sum(pred**2)*sum(target**2) + 1e-6)\n1 - abs(c)", {}),
    ("Lin 1989, concordance", "a = pred - mean(pred)\nb = target - mean(target)\n"
     "1 - 2*mean(a*b)/(mean(a**2) + mean(b**2) + (mean(pred) - mean(target))**2 + 1e-6)", {}),
    ("Nash 1970, efficiency", "sum((pred - target)**2)/(sum((target - mean(target))**2) + 1e-6)", {}),
    ("Nix 1994, Gaussian likelihood",
     "mean((pred - target)**2/(softplus(spread) + 1e-3) + log(softplus(spread) + 1e-3))", {}),
    ("Kendall 2018, task uncertainty", "s = learn(0)\nt = learn(0)\nexp(-2*s)*mse + s + exp(-2*t)*l1 + t", {}),
    ("Poisson with a log link", "mean(exp(min(pred, 20)) - target*min(pred, 20))", {}),
    ("Barron 2019, alpha=0", "mean(log(1 + 0.5*(pred - target)**2))", {}),
    ("Beaton 1974, Tukey", "d = min(abs(pred - target)/4.685, 1)\nmean(1 - (1 - d**2)**3)", {}),
    ("Jiang 2021, focal frequency in part", "d = (pred - target)**2\nmean(sqrt(stop_gradient(d) + 1e-8)*d)", {}),
    # adversarial
    ("Lim 2017, hinge GAN", "mean(relu(1 - pred)) + mean(relu(1 + target))", {}),
    ("Mao 2017, LSGAN", "0.5*mean((pred - 1)**2) + 0.5*mean(target**2)", {}),
    ("Goodfellow 2014, non-saturating", "mean(softplus(-pred)) + mean(softplus(target))", {}),
    ("Jolicoeur-Martineau 2018, relativistic", "mean(softplus(-(real - fake)))", {}),
    ("Mescheder 2018, R1 by name", "mean(softplus(-pred)) + 5*mean(gradient**2)", {}),
    ("Kingma 2014, bounded",
     "mean((pred - target)**2) + 0.5*mean(exp(clamp(logvar, min=-10, max=10)) + mu**2 - 1 - clamp(logvar, "
     "min=-10, max=10))", {}),
    ("Higgins 2017 with free bits", "mean((pred - target)**2) + 4*max(0.5, mean(mu**2))", {}),
    ("Ji 2024, EXO", "q = 0.9*y + 0.1/classes\nmean(sum(p*(log(p) - log(q)), over=class))", C),
    ("Ji 2024, EXO with a reward", "mean(sum(p*log(p) - p*log(softmax(reward)), over=class))", C),
    ("Rafailov 2023, DPO", "-mean(log(sigmoid(0.1*(chosen - rejected))))", {}),
    ("Azar 2023, IPO", "mean((chosen - rejected - 5)**2)", {}),
    ("Burges 2005, RankNet", "mean(softplus(-(better - worse)))", {}),
    ("Schroff 2015, triplet of distances", "mean(relu(near - far + 0.2))", {}),
]  # fmt: skip
# What is found of them and true, by source.
TRUE = {
    "Wong 2018, exponential logarithmic": ("LD705", "the slope of x**0.3 has no bound where the overlap is perfect"),
    "Abraham 2018, focal Tversky": ("LD705", "the slope of x**0.75 has no bound where the overlap is perfect"),
}


@pytest.mark.parametrize(("source", "formula", "options"), SENSIBLE, ids=[source for source, _, _ in SENSIBLE])
def test_nothing_is_found(source: str, formula: str, options: dict[str, Any]) -> None:
    report = lossdsl.check(formula, **options)
    if source in TRUE:
        assert [one.code for one in report.diagnostics] == [TRUE[source][0]]
    else:
        assert str(report) == "ok"


def test_there_are_enough() -> None:
    assert len({formula for _, formula, _ in SENSIBLE}) >= 100
