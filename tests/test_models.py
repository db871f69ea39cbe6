import pytest
import torch
from torchvision import models as zoo

from vaaffect.errors import UserError
from vaaffect.models import NAMES, build_model, count_parameters


@pytest.mark.parametrize("name", NAMES)
def test_every_model_gives_two_outputs_and_all_weights_learn(name):
    model = build_model(name, image_size=64)
    model.eval()
    out = model(torch.zeros(2, 3, 64, 64))
    assert out.shape == (2, 2)
    out.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_architectures_of_the_literature_are_torchvisions_with_another_head():
    compared = [
        ("alexnet", zoo.alexnet),
        ("vgg11_bn", zoo.vgg11_bn),
        ("resnet152", zoo.resnet152),
    ]
    for name, factory in compared:
        theirs, ours = factory(), build_model(name)
        shapes = {k: v.shape for k, v in ours.state_dict().items()}
        different = {k for k, v in theirs.state_dict().items() if shapes[k] != v.shape}
        assert different == (
            {"fc.weight", "fc.bias"}
            if name == "resnet152"
            else {"classifier.6.weight", "classifier.6.bias"}
        )
    assert count_parameters(build_model("alexnet")) == 57_012_034
    assert count_parameters(build_model("vgg11_bn")) == 128_780_034
    assert count_parameters(build_model("resnet152")) == 58_147_906


def test_small_vgg_computes_what_torchvisions_stretched_map_computes():
    # A 2 x 2 map stretched to 7 x 7 repeats its values; summing the repeated weights gives the
    # smaller layer that computes the same. With 7 not divisible by 2 the stretch averages at the
    # seam, so take it from the pooling itself.
    small = build_model("vgg11_bn", image_size=64)
    large = zoo.vgg11_bn(num_classes=2)
    side = 2
    basis = torch.eye(side * side).view(side * side, 1, side, side)
    stretch = large.avgpool(basis).view(side * side, 49)  # (4, 49)
    weight = large.classifier[0].weight.view(4096, 512, 49)
    with torch.no_grad():
        large.classifier[-1] = small.classifier[-1]
        small.classifier[3] = large.classifier[3]
        small.classifier[0].weight.copy_((weight @ stretch.T).reshape(4096, -1))
        small.classifier[0].bias.copy_(large.classifier[0].bias)
        small.features = large.features
        x = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(small.eval()(x), large.eval()(x), rtol=1e-4, atol=1e-5)


def test_unknown_names_and_weights_are_refused():
    with pytest.raises(UserError, match="unknown model 'resnet151'; choose one of"):
        build_model("resnet151")
    with pytest.raises(UserError, match="unknown weights"):
        build_model("resnet18", "vggface")
    with pytest.raises(UserError, match="no ImageNet weights for resnet10"):
        build_model("resnet10", "imagenet")


@pytest.mark.parametrize("weights", [None, "imagenet"])
def test_alexnet_says_how_large_its_pictures_must_be(weights):
    with pytest.raises(UserError, match="alexnet needs pictures of at least 64 pixels, these have"):
        build_model("alexnet", weights, image_size=63)


def test_missing_imagenet_weights_are_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # a port where nothing listens
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"resnet18-f37072fd\.pth where there is a network"
    ) as error:
        build_model("resnet18", "imagenet")
    assert str(tmp_path) in str(error.value)
